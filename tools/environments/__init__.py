"""The environments: exact pins, and one like Colab's."""
