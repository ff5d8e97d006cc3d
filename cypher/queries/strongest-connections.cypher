// Strongest connections into a layer
// The $top CONNECTS with the largest kernel norm into the feature maps of $layer (null: the first conv that reads another
// conv's maps).
:params {"model": "OWNER/NAME", "layer": null, "top": 80};
MATCH (l:Layer {model: $model})
WHERE l.layer = toString($layer) OR ($layer IS NULL AND l.layer IS NOT NULL AND l:Conv AND EXISTS {
  (l)-[:HAS_FEATURE_MAP]->(:FeatureMap)<-[:CONNECTS]-(:FeatureMap)<-[:HAS_FEATURE_MAP]-(:Conv)
})
WITH l ORDER BY l.index LIMIT 1
MATCH (l)-[:HAS_FEATURE_MAP]->(target:FeatureMap)<-[connects:CONNECTS]-(source:FeatureMap)
RETURN source.layer AS from_layer, source.channel AS from_channel, target.layer AS layer, target.channel AS channel,
       connects.weight AS weight, source, connects, target
ORDER BY weight DESC, from_layer, from_channel, channel
LIMIT CASE WHEN toInteger($top) < 140 THEN toInteger($top) ELSE 140 END
