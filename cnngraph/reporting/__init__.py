"""What a run looks like to a person: the HTML summary and its plots."""
