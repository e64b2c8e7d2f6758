"""For writing a chapter: lay it out, run it, keep its cards in step, draw its pictures, record its experiment."""
