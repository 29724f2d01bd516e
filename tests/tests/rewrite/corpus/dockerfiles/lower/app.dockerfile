from mcr.microsoft.com/dotnet/aspnet:8.0 as base
from base
run --mount=type=bind,from=golang:1.21,target=/go true
