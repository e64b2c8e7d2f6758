"""For publishing: the Colab edition, the site, addresses, versions and releases."""
