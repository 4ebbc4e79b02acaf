// Ranks texts by their similarity to a query: search MODEL QUERY TEXT...
package main

import (
	"fmt"
	"os"
	"sort"
)

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: search MODEL QUERY TEXT...")
		os.Exit(2)
	}
	if err := search(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func search(path string, texts []string) error {
	model, err := Open(path)
	if err != nil {
		return err
	}
	defer model.Close()
	rows, err := model.Encode(texts, `{"normalize": true}`)
	if err != nil {
		return err
	}
	scores := make(map[string]float32)
	for i, row := range rows {
		var score float32
		for j, value := range row {
			score += value * rows[0][j]
		}
		scores[texts[i]] = score
	}
	found := texts[1:]
	sort.SliceStable(found, func(a, b int) bool { return scores[found[a]] > scores[found[b]] })
	for _, text := range found {
		fmt.Printf("%.4f  %s\n", scores[text], text)
	}
	return nil
}
