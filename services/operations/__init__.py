"""Operations: health, metrics, backup."""
