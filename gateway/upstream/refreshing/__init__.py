"""What servers offer, read now and again, so that the catalogue stays true."""
