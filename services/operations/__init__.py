"""Operations: health, metrics, backups, and the progress of long jobs."""
