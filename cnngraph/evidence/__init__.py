"""What images say about filters: which excite them most, where each class does, which filters answer alike."""
