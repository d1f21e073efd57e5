"""The HSS v5 image API, one module a resource group; the only place that knows its wire names."""
