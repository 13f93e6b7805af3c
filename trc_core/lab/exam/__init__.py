"""Public exams: problems of other projects, stated here, solved here, and judged."""
