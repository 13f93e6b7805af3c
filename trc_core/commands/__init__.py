"""Command lines of `trc`, one file per verb.

`generate` and `finetune` are `main` of `data.lqr_generator` and `finetuning.finetuner`, which also
run as modules; the verbs that only measure are in `lab`.
"""
