"""A trained model as graphs that run without vaelab: torch.export and ONNX."""

from vaelab.export.parts import PARTS
from vaelab.export.programs import FORMATS, Exported, export_run

__all__ = ["FORMATS", "PARTS", "Exported", "export_run"]
