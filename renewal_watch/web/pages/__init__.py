"""The pages, each as the values that its template shows."""
