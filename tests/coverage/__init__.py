"""Every net that surgery promises to cut, and every kind of removal."""
