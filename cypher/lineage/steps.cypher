// The steps of the prune that made a model, where it trained between them. Parameters: $key.
MATCH (:Model {key: $key})<-[:PRODUCED]-(:PruningRun)<-[:OF]-(step:Step {child: $key})
RETURN step.number AS number, step.layer AS layer, step.filters AS filters, step.trainedParameters AS trained_parameters,
       step.epochs AS epochs, step.accuracy AS accuracy, step.kappa AS kappa, step.seconds AS seconds, step.weights AS weights, step.alive AS alive
ORDER BY number
