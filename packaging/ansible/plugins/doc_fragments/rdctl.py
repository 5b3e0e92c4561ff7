# Copyright The rdctl authors
# Apache-2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
# SPDX-License-Identifier: Apache-2.0
"""The options that modules share, documented once.

Return values have no fragments in ansible-core 2.15 to 2.19. Each module repeats them, and a test
keeps them alike.
"""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  executable:
    description: The program rdctl on the managed host, a name or a path.
    type: path
    default: rdctl
  context:
    description: Context of rdctl with the connection settings. Without it, rdctl uses its current context, and
      RapidDisk on the managed host if there is none.
    type: str
  timeout:
    description: Time limit in seconds of each command of rdctl.
    type: float
requirements:
  - rdctl 1.0.0 or later, below 2.0, on the managed host
attributes:
  check_mode:
    description: Reports what would be changed, and fails where the change would be refused.
    support: full
  diff_mode:
    description: Shows what is changed, as far as rdctl knows it.
    support: full
  platform:
    description: Systems on which the module runs.
    support: full
    platforms: linux
notes:
  - A change of RapidDisk on the managed host itself requires root (C(become)).
  - A change that loses something in a protected context of rdctl requires O(context).
"""

    RAPIDDISK = r"""
options:
  rapiddisk_url:
    description: URL of a rapiddiskd, such as V(http://10.0.0.5:9118), of a machine over SSH, such as V(ssh://root@node7),
      or V(local). It takes precedence over the context.
    type: str
"""

    OIO = r"""
options:
  oio_url:
    description: URL of an oio-proxy, such as V(http://10.0.0.5:6002). It takes precedence over the context.
    type: str
  namespace:
    description: Namespace of OpenIO SDS.
    type: str
  account:
    description: Account of OpenIO SDS.
    type: str
"""
