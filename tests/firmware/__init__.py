"""What sticks do under firmware that needs packages of other machines, or a person at its keyboard: slow, by hand."""
