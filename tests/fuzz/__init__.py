"""Random command lines and spoiled replies: `make fuzz`. Nothing but the promises that hold for
every run is known of what should come out (see `judge`)."""
