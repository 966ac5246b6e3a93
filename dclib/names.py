"""Names that an experiment may use, apart from the code behind them, which imports torch."""

WEIGHTINGS = ("per_task", "per_output")  # of `dclib.tasks.task_weights`
WEIGHTS = ("imagenet", "imagenet-mlnet", "tiny-imagenet")  # of `dclib.pretrained.state`
