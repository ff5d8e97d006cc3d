// What a person knows feature maps by, for the ids that GDS gives. Parameters: $ids.
UNWIND $ids AS id
WITH id, gds.util.asNode(id) AS f
RETURN id, f.layer AS layer, f.channel AS channel
