// betweenness: shortest paths through a position, all of them or from a sample of sources.
// Parameters: $name (of the projection), $sample (how many sources), $seed. In Browser put :auto before it.
CALL gds.betweenness.write($name, {relationshipWeightProperty: 'weight', samplingSize: $sample, samplingSeed: $seed,
  writeProperty: 'betweenness'})
YIELD nodePropertiesWritten
RETURN nodePropertiesWritten AS written
