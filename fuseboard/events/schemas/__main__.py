"""Write the schemas again: ``python -m fuseboard.events.schemas``."""

from pathlib import Path

from fuseboard.events.schemas import schema_files

if __name__ == "__main__":
    folder = Path(__file__).parent
    for old in folder.glob("*.json"):
        old.unlink()
    for name, text in schema_files().items():
        (folder / name).write_text(text, encoding="utf-8")
