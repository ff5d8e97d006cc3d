// What goes along with a filter
// The feature maps of the coupling group of filter $channel of $layer (null: the first group of several maps), 299 at most:
// whoever removes one of them removes all. `cannot_go` says why the group stays, null if it can go. A filter without a group
// goes alone.
:params {"model": "OWNER/NAME", "layer": null, "channel": 0};
MATCH (g:CouplingGroup {model: $model})
WHERE g.index >= 0 AND (($layer IS NULL AND g.size > 1) OR EXISTS {
  (:FeatureMap {model: $model, layer: toString($layer), channel: toInteger($channel)})-[:COUPLED_IN]->(g)
})
WITH g ORDER BY g.index LIMIT 1
MATCH (l:Layer)-[:HAS_FEATURE_MAP]->(f:FeatureMap)-[coupled:COUPLED_IN]->(g)
RETURN f.layer AS layer, f.channel AS channel, g.index AS group, g.size AS size, g.fixed AS cannot_go, f, coupled, g
ORDER BY l.index, channel LIMIT 299
