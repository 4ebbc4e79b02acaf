/* A model for the conformance suite: lines MODEL. Each line of standard input is a command and a
 * request, `infer {...}`, `tokenize {...}` or `self-test {}`; each line of standard output its
 * answer. The first that fails ends it, as the command line would. */

#include <encoderfile.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(encoderfile_error *error)
{
    fprintf(stderr, "error: %s\n", encoderfile_error_message(error));
    encoderfile_error_free(error);
    return 1;
}

static encoderfile_status answer(encoderfile_model model, const char *line, size_t len, char **json,
                                 size_t *json_len, encoderfile_error **error)
{
    static const char infer[] = "infer ", tokenize[] = "tokenize ";
    const size_t infer_len = sizeof infer - 1, tokenize_len = sizeof tokenize - 1;
    if (len >= infer_len && !memcmp(line, infer, infer_len))
        return encoderfile_infer_json(model, line + infer_len, len - infer_len, json, json_len,
                                      error);
    if (len >= tokenize_len && !memcmp(line, tokenize, tokenize_len))
        return encoderfile_tokenize_json(model, line + tokenize_len, len - tokenize_len, json,
                                         json_len, error);
    return encoderfile_self_test_json(model, json, json_len, error);
}

int main(int argc, char **argv)
{
    encoderfile_model model;
    encoderfile_error *error = NULL;
    if (argc != 2)
        return 2;
    if (encoderfile_open(argv[1], strlen(argv[1]), 0, &model, &error))
        return fail(error);
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    int code = 0;
    while (!code && (len = getline(&line, &room, stdin)) > 0) {
        char *json;
        size_t json_len;
        if (answer(model, line, (size_t)len, &json, &json_len, &error)) {
            code = fail(error);
        } else {
            fwrite(json, 1, json_len, stdout);
            putchar('\n');
            encoderfile_string_free(json);
        }
    }
    free(line);
    encoderfile_close(model);
    return code;
}
