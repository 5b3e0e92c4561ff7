"""What every part of the house uses: errors, results, units, and what the process has."""
