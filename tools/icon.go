package tools

import (
	_ "embed" // the icon
	"encoding/base64"

	"github.com/mark3labs/mcp-go/mcp"
)

// iconSVG is dist/icon.svg, which no file of this folder can embed.
//
//go:embed icon.svg
var iconSVG []byte

// icon is what a host shows of the server.
func icon() mcp.Icon {
	const mime = "image/svg+xml"
	return mcp.Icon{Src: "data:" + mime + ";base64," + base64.StdEncoding.EncodeToString(iconSVG), MIMEType: mime, Sizes: []string{"any"}}
}
