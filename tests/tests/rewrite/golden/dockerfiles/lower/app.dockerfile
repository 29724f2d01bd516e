from registry.corp:5000/dotnet/aspnet:8.0 as base
from base
run --mount=type=bind,from=registry.corp:5000/library/golang:1.21,target=/go true
