"""The web page of `epistem serve`."""
