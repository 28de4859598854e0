"""`mtrec prepare`: schema check, split, fit on train only, encode; the bundle is named by the digest of log and configuration."""

import hashlib
import json
import logging
from collections.abc import Callable

from safetensors.torch import save_file

from mtrec.config import Config
from mtrec.data.bundle import KIND, Prepared
from mtrec.data.log import LogFiles, available_columns
from mtrec.data.prepared import write_rows
from mtrec.data.split import Splitter
from mtrec.features.feature_set import FeatureSet, column_types
from mtrec.features.state import load_state, read_state, save_state
from mtrec.store import Bundle, sweep

__all__ = ["load_features", "prepare"]


def prepare(config: Config, progress: Callable[[str, int], None] = lambda stage, rows: None) -> Prepared:
    """Prepare the log of a configuration, or open what an earlier call made of the same log and sections.

    Args:
        progress: called with the pass ("fit", "encode") and the rows just done.
    """
    columns = available_columns(config.log.source, config.log.join)
    features = FeatureSet.build(config.features, config.candidates(column_types(columns)))
    log = LogFiles(config.log.source, [*features.input_columns, *config.columns_beside_features()], config.log.join)
    splitter = Splitter(config.log, log.schema, config.seed)
    sections, digest = config.sections_of_preparation(), log.digest()
    # Labels lie in the order of the tasks, which sorted keys do not tell.
    key = hashlib.sha256(json.dumps([digest, sections, list(config.tasks)], sort_keys=True).encode()).hexdigest()[:16]
    path = config.run_path.parent.parent / "prepared" / key if config.run_dir is None else config.run_path.parent / "prepared" / key
    if not Bundle.is_complete(path):
        sweep(path.parent)
        if ignored := [name for name in columns.names if name not in log.needed]:
            logging.getLogger("mtrec").info("Columns of the log that nothing reads: %s", ", ".join(ignored))
        many = [field.kind in ("multi", "sequence") for field in features.id_inputs]
        with Bundle.create(path, KIND, replace=True) as bundle:
            facts = write_rows(log, splitter, features, config.tasks, config.log.roles.weight, many, config.seed, bundle.path, progress)
            save_file(save_state(features), bundle.path / "features.safetensors")
            sizes = features.table_sizes()
            bundle.meta["fields"] = [[field.name, field.table, sizes[field.table]] for field in features.id_inputs]
            bundle.meta |= {"many": many, "number_names": [number.name for number in features.number_inputs]}
            bundle.meta |= {"rows": facts.rows, "tasks": facts.tasks, "types": list(column_types(log.schema).items())}
            bundle.meta |= {"digest": digest, "sections": sections}
    return Prepared(path)


def load_features(config: Config, prepared: Prepared) -> FeatureSet:
    """The fitted features of a prepared log."""
    features = FeatureSet.build(config.features, config.candidates(prepared.types))
    load_state(features, read_state(prepared.path / "features.safetensors"))
    features.eval()
    return features
