// How many nodes bear each of our labels, from the counts that the server keeps: asked before a migration, when none of those
// whose labels it brings in can be ours.
WITH {Model: COUNT { (:Model) }, Layer: COUNT { (:Layer) }, Input: COUNT { (:Input) }, Conv: COUNT { (:Conv) },
      Linear: COUNT { (:Linear) }, Norm: COUNT { (:Norm) }, Activation: COUNT { (:Activation) },
      Pool: COUNT { (:Pool) }, Add: COUNT { (:Add) }, Concat: COUNT { (:Concat) }, Flatten: COUNT { (:Flatten) },
      Other: COUNT { (:Other) }, FeatureMap: COUNT { (:FeatureMap) }, Position: COUNT { (:Position) },
      Class: COUNT { (:Class) }, Block: COUNT { (:Block) }, Tensor: COUNT { (:Tensor) },
      CouplingGroup: COUNT { (:CouplingGroup) },
      MeasureRun: COUNT { (:MeasureRun) }, PruningRun: COUNT { (:PruningRun) },
      Step: COUNT { (:Step) }, Review: COUNT { (:Review) },
      Comparison: COUNT { (:Comparison) }, Criticality: COUNT { (:Criticality) },
      Evaluation: COUNT { (:Evaluation) }, DataModel: COUNT { (:DataModel) }, Removed: COUNT { (:Removed) },
      Theta1: COUNT { (:Theta1) }, Theta2: COUNT { (:Theta2) }, Theta3: COUNT { (:Theta3) },
      Theta4: COUNT { (:Theta4) }, Theta5: COUNT { (:Theta5) }} AS counts
UNWIND keys(counts) AS label
WITH label, counts[label] AS nodes WHERE nodes > 0
RETURN label, nodes
ORDER BY label
