"""What an agent programs: one back end per kind of machine, behind the protocol ``DataPath`` of ``base``.

- ``record`` programs nothing, and reports each path set as if it had.
- ``fabric_linux`` programs a Linux gateway; ``fabric_program`` orders its steps, and ``fabric_state`` knows its
  objects.
"""
