"""From columns of a log to the inputs of a model: transforms that are fitted on train rows, and the pipeline that runs them."""
