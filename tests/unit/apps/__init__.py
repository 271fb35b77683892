"""What the apps decide without a running part: settings edited, processes paced, words said."""
