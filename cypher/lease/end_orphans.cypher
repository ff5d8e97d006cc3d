// Batches that a killed writer of this model has left running on the server. Parameters: $key.
SHOW TRANSACTIONS YIELD transactionId AS id, parameters
WHERE parameters.model = $key
TERMINATE TRANSACTIONS id YIELD message
RETURN message
