"""What one person may ask of a shared page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of `epistem serve`.

    Attributes:
        upload_mb: of one file [10⁶ bytes].
        room_mb: of all files of one session, results included [10⁶ bytes].
        images: of one session.
        megapixels: of one image [10⁶ pixels].
        job_s: of one job on one image [s].
        long_job_s: of a training or a benchmark [s].
        keep_h: files of a session that nobody uses are removed after so long [h].
    """

    upload_mb: float = 512
    room_mb: float = 4096
    images: int = 1000
    megapixels: float = 128
    job_s: float = 600
    long_job_s: float = 6 * 3600
    keep_h: float = 24

    @property
    def upload_bytes(self) -> int:
        """Of one file."""
        return round(self.upload_mb * 1e6)

    @property
    def room_bytes(self) -> int:
        """Of one session."""
        return round(self.room_mb * 1e6)
