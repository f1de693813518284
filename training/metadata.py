"""What a LoRA file says about its own training, in the names that other tools read (`ss_*`).

Not for what belongs to the weights (rank, alpha, hashes, architecture): `lora.save` adds that.
"""

from __future__ import annotations

from collections import Counter

from diversity import __version__
from training import optimise
from training.config import TrainConfig
from training.data import TrainingData
from training.lora_files.metadata import OURS, tag_frequency
from training.pictures import SELECTION
from training.runs import Run


def of(run: Run, data: TrainingData, config: TrainConfig, step: int) -> dict[str, object]:
    """Settings and data of a run after `step` steps.

    `ss_tag_frequency` counts each tag once per picture; `ss_dataset_dirs` names sources, not folders of this machine.
    """
    held = [p for p in data.train if p.source == SELECTION]
    sources = Counter(p.source for p in data.train)
    captions = {name: [p.plain for p in data.train if p.source == name] for name in sources}
    rate = str(optimise.learning_rate(config.optimiser))
    return {
        "ss_output_name": run.id,
        "ss_session_id": run.record.get("fingerprint", ""),
        "ss_training_started_at": run.record.get("created", ""),
        "ss_learning_rate": rate,
        "ss_unet_lr": rate,
        "ss_text_encoder_lr": rate if config.lora.text_encoder else "None",
        "ss_num_train_images": len(held),
        "ss_num_reg_images": len(data.train) - len(held),
        "ss_num_validation_images": len(data.held_out),
        "ss_steps": step,
        "ss_max_train_steps": config.steps,
        "ss_batch_size_per_device": config.batch_size,
        "ss_total_batch_size": config.batch_size * config.accumulate,
        "ss_gradient_accumulation_steps": config.accumulate,
        "ss_gradient_checkpointing": config.checkpointing,
        "ss_lr_scheduler": config.optimiser.schedule,
        "ss_lr_warmup_steps": config.optimiser.warmup,
        "ss_optimizer": config.optimiser.name,
        "ss_max_grad_norm": config.optimiser.max_grad_norm,
        "ss_seed": config.seed,
        "ss_noise_offset": config.loss.noise_offset,
        "ss_min_snr_gamma": config.loss.min_snr_gamma,
        "ss_caption_dropout_rate": config.captions.dropout,
        "ss_caption_tag_dropout_rate": config.captions.tag_dropout,
        "ss_shuffle_caption": config.captions.shuffle,
        "ss_keep_tokens": config.captions.keep_tokens,
        "ss_flip_aug": config.data.flip,
        "ss_sd_model_name": run.record.get("base", {}).get("name", ""),
        "ss_tag_frequency": tag_frequency(captions),
        "ss_dataset_dirs": {name: {"n_repeats": 1, "img_count": count} for name, count in sources.items()},
        f"{OURS}version": __version__,
        f"{OURS}trigger": config.captions.trigger or "",
        f"{OURS}base_fingerprint": run.record.get("base", {}).get("fingerprint", ""),
        f"{OURS}data_digest": run.record.get("data", {}).get("digest", ""),
    }
