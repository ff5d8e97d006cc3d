// A saved model is named by the sha256 of its content (Model.savedSha256), no longer by a path of one machine (Model.artifact).
// Files can only be hashed where they are: cnngraph db migrate does that on each machine, and names what it finds. Here no more
// is done than to keep earlier versions out, which would take a model that has only the sha256 for one without a saved model.
