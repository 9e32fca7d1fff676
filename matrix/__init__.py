"""What is validated: data and its expansion, standard library only."""
