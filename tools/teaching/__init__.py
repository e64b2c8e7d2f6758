"""For teaching: students' and instructors' notebooks, and uploads for Gradescope."""
