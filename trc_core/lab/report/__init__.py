"""`trc report`: one HTML file about a run or a bag."""
