// Which database this is, whatever its address.
CALL db.info() YIELD id
RETURN id
