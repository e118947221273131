"""One turn of each kind of work: poll, account, dispatch, actions."""
