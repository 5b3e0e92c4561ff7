"""rdctl: one command line for RapidDisk and OpenIO SDS."""

__version__ = "1.0.0rc1"
