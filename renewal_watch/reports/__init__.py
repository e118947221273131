"""What people and scripts read. No decision is made here."""
