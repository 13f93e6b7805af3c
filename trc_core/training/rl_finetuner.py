"""Fine-tuning by its first name: `python -m trc_core.training.rl_finetuner` is `trc finetune`."""

from trc_core.finetuning.finetuner import main

__all__ = ['main']

if __name__ == '__main__':
    main()
