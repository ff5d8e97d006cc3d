// How many relationships begin at some nodes. Parameters: $ids (element ids).
UNWIND $ids AS id
MATCH (a) WHERE elementId(a) = id
RETURN sum(COUNT { (a)-->() }) AS relationships
