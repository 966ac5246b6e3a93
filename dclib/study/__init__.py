"""All that is about this paper and nothing else: its plans, numbers, verdicts, figures, pages."""
