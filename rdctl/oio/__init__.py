"""OpenIO SDS: object storage, through its oio-proxy."""
