"""What monitoring reads: health, Nagios, metrics."""
