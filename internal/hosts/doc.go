// Package hosts knows where MCP hosts keep their configuration, what an entry
// for a server looks like there, and how to put one in or take it out without
// touching anything else in the file.
//
// Texts go in and come out as bytes: [Host.Render], [Host.Merge], [Host.Remove]
// and [Host.Find] neither read nor write files and need no lock. [Read] and
// [File.Write] do the rest. An edit is made by replacing ranges of bytes and is
// checked by reading the result again: comments, order, indentation, line ends
// and a byte order mark stay as they were.
package hosts
