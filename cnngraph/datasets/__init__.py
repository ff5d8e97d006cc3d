"""Where images come from: names -> train, validation and test parts."""
