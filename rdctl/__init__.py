"""rdctl: one command line for RapidDisk and OpenIO SDS."""

__version__ = "0.1.0"
