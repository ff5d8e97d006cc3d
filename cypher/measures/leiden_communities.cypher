// leiden, first step: the communities, onto the positions. One thread, so that the seed decides.
// Parameters: $name (of the projection), $seed, $gamma. In Browser put :auto before it.
CALL gds.leiden.write($name, {relationshipWeightProperty: 'weight', gamma: $gamma, randomSeed: $seed, concurrency: 1,
  writeProperty: 'leidenCommunity'})
YIELD nodePropertiesWritten, communityCount, modularity
RETURN nodePropertiesWritten AS written, communityCount AS communities, modularity
